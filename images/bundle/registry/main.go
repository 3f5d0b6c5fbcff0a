// Distribution's registry with nothing but the directory as storage.
package main

import (
	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/spf13/cobra"
)

func main() { cobra.CheckErr(registry.RootCmd.Execute()) }
