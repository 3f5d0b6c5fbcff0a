//go:build programs

package programs

import (
	_ "github.com/opencontainers/runc"
)
