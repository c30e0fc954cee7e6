// Package sim simulates nodes: it does to pods, volumes and load balancers what
// kubelets, a storage provisioner and a cloud would do, but runs no containers.
// Annotations on pods script what happens to them.
package sim

import (
	"context"
	"crypto/tls"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

const (
	workers    = 24
	writeRetry = 300 * time.Millisecond
)

// Config is what a simulation needs.
type Config struct {
	Client      kubernetes.Interface
	Nodes       int
	Certificate tls.Certificate // of the kubelet's log server
}

// Sim is a running simulation.
type Sim struct {
	config      Config
	client      kubernetes.Interface
	kubeletPort int
	nodes       map[string]bool // not changed after the start
	addresses   *addresses
	recorder    record.EventRecorder
	queue       workqueue.TypedDelayingInterface[types.UID]
	hasSynced   []cache.InformerSynced

	mu     sync.Mutex
	pods   map[types.UID]*podRun
	byName map[types.NamespacedName]*podRun
}

// Start begins to simulate, until the context ends.
func Start(ctx context.Context, config Config) (*Sim, error) {
	events := record.NewBroadcaster(record.WithContext(ctx))
	events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: config.Client.CoreV1().Events("")})
	s := &Sim{
		config: config, client: config.Client,
		nodes:     map[string]bool{},
		addresses: newAddresses(os.Getpid()),
		recorder:  events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet"}),
		queue:     workqueue.NewTypedDelayingQueue[types.UID](),
		pods:      map[types.UID]*podRun{},
		byName:    map[types.NamespacedName]*podRun{},
	}
	if err := s.serveKubelet(ctx, config.Certificate); err != nil {
		return nil, err
	}
	if err := s.createNodes(ctx); err != nil {
		return nil, err
	}
	if err := s.createClasses(ctx); err != nil {
		return nil, err
	}
	go s.beat(ctx)

	factory := informers.NewSharedInformerFactory(config.Client, 0)
	scheduled := informers.NewSharedInformerFactoryWithOptions(config.Client, 0, informers.WithTweakListOptions(func(options *metav1.ListOptions) {
		options.FieldSelector = "spec.nodeName!="
	}))
	if err := s.watchPods(scheduled); err != nil {
		return nil, err
	}
	if err := s.watchStorage(ctx, factory); err != nil {
		return nil, err
	}
	if err := s.watchBalancers(ctx, factory); err != nil {
		return nil, err
	}
	factory.Start(ctx.Done())
	scheduled.Start(ctx.Done())
	for range workers {
		go s.work(ctx)
	}
	go func() {
		<-ctx.Done()
		s.queue.ShutDown()
		events.Shutdown()
	}()
	return s, nil
}

func (s *Sim) synced() bool {
	for _, synced := range s.hasSynced {
		if !synced() {
			return false
		}
	}
	return true
}

func (s *Sim) watchPods(factory informers.SharedInformerFactory) error {
	informer := factory.Core().V1().Pods().Informer()
	s.hasSynced = append(s.hasSynced, informer.HasSynced)
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { s.seen(object.(*corev1.Pod)) },
		UpdateFunc: func(before, after any) {
			if old, pod := before.(*corev1.Pod), after.(*corev1.Pod); old.UID != pod.UID {
				s.forget(old.UID)
			}
			s.seen(after.(*corev1.Pod))
		},
		DeleteFunc: func(object any) {
			if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = unknown.Obj
			}
			if pod, ok := object.(*corev1.Pod); ok {
				s.forget(pod.UID)
			}
		},
	})
	return err
}

// seen takes in a new version of a pod.
func (s *Sim) seen(pod *corev1.Pod) {
	if !s.nodes[pod.Spec.NodeName] {
		return
	}
	s.mu.Lock()
	p := s.pods[pod.UID]
	if p == nil {
		ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
		if ended && pod.DeletionTimestamp == nil {
			s.mu.Unlock()
			return
		}
		p = newPodRun(s, pod, time.Now())
		s.pods[pod.UID] = p
		s.byName[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}] = p
		s.mu.Unlock()
	} else {
		s.mu.Unlock()
		p.mu.Lock()
		p.see(pod)
		p.mu.Unlock()
	}
	s.queue.Add(pod.UID)
}

func (s *Sim) forget(uid types.UID) {
	s.mu.Lock()
	p := s.pods[uid]
	if p != nil {
		delete(s.pods, uid)
		if name := (types.NamespacedName{Namespace: p.namespace, Name: p.name}); s.byName[name] == p {
			delete(s.byName, name)
		}
	}
	s.mu.Unlock()
	if p != nil {
		p.mu.Lock()
		p.gone = true
		p.release()
		p.mu.Unlock()
	}
}

func (s *Sim) get(uid types.UID) *podRun {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pods[uid]
}

func (s *Sim) find(namespace, name string) *podRun {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byName[types.NamespacedName{Namespace: namespace, Name: name}]
}

func (s *Sim) work(ctx context.Context) {
	for {
		uid, down := s.queue.Get()
		if down {
			return
		}
		if p := s.get(uid); p != nil {
			s.handle(ctx, p)
		}
		s.queue.Done(uid)
	}
}

// handle moves one pod on and reports what has changed.
func (s *Sim) handle(ctx context.Context, p *podRun) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return
	}
	now := time.Now()
	next := p.step(now)
	if p.stopped {
		if err := s.finish(ctx, p, now); err != nil && ctx.Err() == nil {
			klog.InfoS("Removing a pod", "pod", p.namespace+"/"+p.name, "err", err)
			s.queue.AddAfter(p.uid, writeRetry)
		}
		return
	}
	status := p.status(now)
	p.tell(ready(status))
	if p.pod.DeletionTimestamp == nil && (p.written == nil || !equality.Semantic.DeepEqual(p.written, status)) {
		if err := s.write(ctx, p, status); err != nil {
			if ctx.Err() == nil && !apierrors.IsNotFound(err) {
				klog.InfoS("Writing a pod's status", "pod", p.namespace+"/"+p.name, "err", err)
				next = earlier(next, now.Add(writeRetry))
			}
		} else {
			p.written = status
		}
	}
	if !next.IsZero() {
		s.queue.AddAfter(p.uid, time.Until(next))
	}
}

func (s *Sim) write(ctx context.Context, p *podRun, status *corev1.PodStatus) error {
	data, err := patch(p.uid, status)
	if err != nil {
		return err
	}
	_, err = s.client.CoreV1().Pods(p.namespace).Patch(ctx, p.name, types.StrategicMergePatchType, data, metav1.PatchOptions{}, "status")
	return err
}

// finish removes a pod whose containers have stopped. Where somebody's finalizer
// keeps it, it first gets its final status, which that somebody may wait for.
func (s *Sim) finish(ctx context.Context, p *podRun, now time.Time) error {
	p.release()
	if len(p.pod.Finalizers) > 0 {
		if err := s.write(ctx, p, p.status(now)); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	zero := int64(0)
	err := s.client.CoreV1().Pods(p.namespace).Delete(ctx, p.name, metav1.DeleteOptions{
		GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &p.uid},
	})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
