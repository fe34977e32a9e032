package config

import (
	"fmt"
	"testing"
)

func TestSmoke(t *testing.T) {
	c := Default("/x")
	fmt.Printf("%+v\n", c)
	f := parse([]byte("[sever]\nport=1\n[server]\nprot=5\nport='x'\n[models.alias]\na='b'\nb='a'\ngpt-4.1='x'\n[usage]\nenabled=true\n[[accounts]]\nid='a'\n[accounts.settings]\nuser='b'\n[[accounts]]\nid='a'\nfoo=1\n"), "/x")
	for _, p := range f.problems {
		fmt.Println(p)
	}
	fmt.Println(f.config.Notices)
}
