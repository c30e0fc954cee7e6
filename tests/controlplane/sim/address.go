package sim

import (
	"fmt"
	"net"
	"sync"
)

// claimPort is where an instance holds on to a block of addresses.
const claimPort = 10064

// addresses hands out pod addresses 10.64.x.y. Their listeners are at 127.64.x.y,
// which all instances on this machine share; so an instance takes whole blocks x,
// and holds each by listening on 127.64.x.255. The kernel lets go of it when the
// process ends.
type addresses struct {
	mu     sync.Mutex
	claims []net.Listener
	block  int
	last   int
	free   []string // returned ones, longest first
	used   map[string]bool
}

func newAddresses(seed int) *addresses {
	return &addresses{block: seed % 256, last: 254, used: map[string]bool{}}
}

func (a *addresses) take() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	// an address rests for long after use, as a client may still know it
	if len(a.free) > 2000 {
		ip := a.free[0]
		a.free = a.free[1:]
		a.used[ip] = true
		return ip
	}
	for {
		if a.last >= 254 && !a.claim() {
			break
		}
		a.last++
		if ip := fmt.Sprintf("10.64.%d.%d", a.block, a.last); !a.used[ip] {
			a.used[ip] = true
			return ip
		}
	}
	if len(a.free) > 0 {
		ip := a.free[0]
		a.free = a.free[1:]
		a.used[ip] = true
		return ip
	}
	return ""
}

// claim takes the next block that no other instance has.
func (a *addresses) claim() bool {
	for range 256 {
		a.block = (a.block + 1) % 256
		listener, err := net.Listen("tcp", fmt.Sprintf("127.64.%d.255:%d", a.block, claimPort))
		if err != nil {
			continue
		}
		a.claims = append(a.claims, listener)
		a.last = 0
		return true
	}
	return false
}

// adopt marks an address that a pod has from an earlier life of this control plane.
func (a *addresses) adopt(ip string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used[ip] = true
}

func (a *addresses) give(ip string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.used[ip] {
		delete(a.used, ip)
		a.free = append(a.free, ip)
	}
}

// listenAddress is where a pod with this address really listens.
func listenAddress(podIP string) string {
	ip := net.ParseIP(podIP).To4()
	if ip == nil {
		return "127.0.0.1"
	}
	return fmt.Sprintf("127.%d.%d.%d", ip[1], ip[2], ip[3])
}
