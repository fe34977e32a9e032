package main

import (
	"os"
	"strconv"
	"strings"
)

// parentName is the name of the program that started this one, most often the shell that will read the output.
func parentName() string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(os.Getppid()) + "/comm")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
