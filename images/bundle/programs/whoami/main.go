// whoami answers every HTTP request, on ports 80 and 8080, with the name of the pod it runs in.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	name, err := os.Hostname()
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, name)
		log.Printf("%s %s from %s", r.Method, r.URL.Path, r.RemoteAddr)
	})
	for _, address := range []string{":80", ":8080"} {
		go func(address string) { log.Fatal(http.ListenAndServe(address, nil)) }(address)
	}
	// PID 1 has no default signal handlers: without this a pod would take its whole grace period to end.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
}
