//go:build programs

package programs

import (
	_ "k8s.io/sample-apiserver"
)
