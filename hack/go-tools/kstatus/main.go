// Reads YAML objects from standard input and prints the status that kstatus computes of each, one a line:
// kind/name, status and message, with tabs between.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

func main() {
	reader := utilyaml.NewYAMLReader(bufio.NewReader(os.Stdin))
	for {
		doc, err := reader.Read()
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(err)
		}
		js, err := utilyaml.ToJSON(doc)
		if err != nil {
			panic(err)
		}
		if string(js) == "null" {
			continue
		}
		u := &unstructured.Unstructured{}
		// Not sigs.k8s.io/yaml, which makes metadata.generation a float64, and Compute fails.
		if err := u.UnmarshalJSON(js); err != nil {
			panic(err)
		}
		res, err := status.Compute(u)
		if err != nil {
			fmt.Printf("%s/%s\tERROR\t%v\n", u.GetKind(), u.GetName(), err)
			continue
		}
		fmt.Printf("%s/%s\t%s\t%s\n", u.GetKind(), u.GetName(), res.Status, res.Message)
	}
}
