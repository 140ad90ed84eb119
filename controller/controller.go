// Package controller turns objects, those of a Kubernetes cluster or of folders of YAML files, into the snapshot that is
// in force.
//
//	folder, err := controller.NewFolder(controller.FolderConfig{Dirs: []string{"policies"}})
//	publisher, err := controller.NewPublisher(controller.PublisherConfig{List: folder.Load, Snapshot: &snapshot})
//	err = publisher.Publish(ctx)                       // at start: fatal
//	err = folder.Watch(ctx, func(ctx context.Context) { // later: the last good set stays
//		_ = publisher.Publish(ctx)
//	})
//
// In a cluster, one Cluster does the same with what its informers hold, and writes the status of the objects:
//
//	cluster, err := controller.NewCluster(controller.ClusterConfig{REST: config, Options: options, Snapshot: &snapshot})
//	err = cluster.Run(ctx)
//
// It also runs stories, in which a set of objects and requests to it stand in one file; see ParseStory.
//
// The package decides nothing: what an object means is said by package policy. It reads files and the API
// server and nothing else of the world, and patches no snapshot: each one is built anew and replaces the last as a whole.
package controller
