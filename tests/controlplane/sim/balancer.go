package sim

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

const addressDelay = 200 * time.Millisecond

// balancers gives Services of type LoadBalancer and Ingresses an address.
type balancers struct {
	sim *Sim

	mu   sync.Mutex
	busy map[types.UID]bool
	last int
}

func (s *Sim) watchBalancers(ctx context.Context, factory informers.SharedInformerFactory) error {
	b := &balancers{sim: s, busy: map[types.UID]bool{}}
	services := factory.Core().V1().Services().Informer()
	ingresses := factory.Networking().V1().Ingresses().Informer()
	s.hasSynced = append(s.hasSynced, services.HasSynced, ingresses.HasSynced)
	handle := func(object any) {
		switch it := object.(type) {
		case *corev1.Service:
			if it.Spec.Type == corev1.ServiceTypeLoadBalancer && it.Spec.LoadBalancerClass == nil && len(it.Status.LoadBalancer.Ingress) == 0 {
				b.schedule(ctx, &it.ObjectMeta, func() error { return b.service(ctx, it.Namespace, it.Name) })
			}
		case *networkingv1.Ingress:
			if len(it.Status.LoadBalancer.Ingress) == 0 {
				b.schedule(ctx, &it.ObjectMeta, func() error { return b.ingress(ctx, it.Namespace, it.Name) })
			}
		}
	}
	handlers := cache.ResourceEventHandlerFuncs{
		AddFunc:    handle,
		UpdateFunc: func(_, after any) { handle(after) },
	}
	if _, err := services.AddEventHandler(handlers); err != nil {
		return err
	}
	_, err := ingresses.AddEventHandler(handlers)
	return err
}

// schedule does something after the delay, once at a time for each object.
func (b *balancers) schedule(ctx context.Context, meta *metav1.ObjectMeta, do func() error) {
	if meta.Annotations[Prefix+"no-address"] == "true" || meta.DeletionTimestamp != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.busy[meta.UID] {
		return
	}
	b.busy[meta.UID] = true
	uid, name := meta.UID, meta.Namespace+"/"+meta.Name
	time.AfterFunc(addressDelay, func() {
		var err error
		for range 5 {
			if err = do(); err == nil || ctx.Err() != nil {
				break
			}
			time.Sleep(addressDelay)
		}
		if err != nil && ctx.Err() == nil {
			klog.InfoS("Giving an address", "object", name, "err", err)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.busy, uid)
	})
}

func (b *balancers) address() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = b.last%254 + 1
	return fmt.Sprintf("203.0.113.%d", b.last)
}

func (b *balancers) service(ctx context.Context, namespace, name string) error {
	services := b.sim.client.CoreV1().Services(namespace)
	service, err := services.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return ignoreNotFound(err)
	}
	if len(service.Status.LoadBalancer.Ingress) > 0 || service.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return nil
	}
	mode := corev1.LoadBalancerIPModeVIP
	service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: b.address(), IPMode: &mode}}
	_, err = services.UpdateStatus(ctx, service, metav1.UpdateOptions{})
	return ignoreNotFound(err)
}

func (b *balancers) ingress(ctx context.Context, namespace, name string) error {
	ingresses := b.sim.client.NetworkingV1().Ingresses(namespace)
	ingress, err := ingresses.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return ignoreNotFound(err)
	}
	if len(ingress.Status.LoadBalancer.Ingress) > 0 {
		return nil
	}
	ingress.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: b.address()}}
	_, err = ingresses.UpdateStatus(ctx, ingress, metav1.UpdateOptions{})
	return ignoreNotFound(err)
}
