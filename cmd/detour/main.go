// Command detour lets unmodified LLM tools use the GitHub Copilot and other accounts that their owner already has.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], system()))
}
