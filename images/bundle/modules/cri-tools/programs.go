//go:build programs

package programs

import (
	_ "sigs.k8s.io/cri-tools/cmd/crictl"
)
