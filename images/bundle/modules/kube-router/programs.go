//go:build programs

package programs

import (
	_ "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"
)
