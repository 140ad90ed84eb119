// Package controller turns objects, at present those of folders of YAML files, into the snapshot that is in force.
//
//	folder, err := controller.NewFolder(controller.FolderConfig{Dirs: []string{"policies"}})
//	publisher, err := controller.NewPublisher(controller.PublisherConfig{List: folder.Load, Snapshot: &snapshot})
//	err = publisher.Publish(ctx)                       // at start: fatal
//	err = folder.Watch(ctx, func(ctx context.Context) { // later: the last good set stays
//		_ = publisher.Publish(ctx)
//	})
//
// It also runs stories, in which a set of objects and requests to it stand in one file; see ParseStory.
//
// The package decides nothing: what an object means is said by package policy. It reads files and nothing else of the
// world, and patches no snapshot: each one is built anew and replaces the last as a whole.
package controller
