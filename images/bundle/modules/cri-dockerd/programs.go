//go:build programs

package programs

import (
	_ "github.com/Mirantis/cri-dockerd"
)
