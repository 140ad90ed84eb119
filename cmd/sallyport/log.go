package main

import (
	"io"
	"log/slog"
	"strings"

	"github.com/go-logr/logr"
)

// newLog is the log of a command. Its level and format are those of the flags.
func newLog(out io.Writer, level, format string) (logr.Logger, error) {
	levels := map[string]slog.Level{"error": slog.LevelError, "warn": slog.LevelWarn, "info": slog.LevelInfo, "debug": slog.LevelDebug}
	least, ok := levels[level]
	if !ok {
		return logr.Logger{}, usagef("--log-level %q: must be error, warn, info or debug", level)
	}
	options := &slog.HandlerOptions{Level: least, ReplaceAttr: lowerLevel}
	switch format {
	case "json":
		return logr.FromSlogHandler(slog.NewJSONHandler(out, options)), nil
	case "text":
		return logr.FromSlogHandler(slog.NewTextHandler(out, options)), nil
	}
	return logr.Logger{}, usagef("--log-format %q: must be json or text", format)
}

// lowerLevel writes a level as the flag does.
func lowerLevel(groups []string, a slog.Attr) slog.Attr {
	level, ok := a.Value.Any().(slog.Level)
	switch {
	case !ok || a.Key != slog.LevelKey || len(groups) > 0:
		return a
	case level < slog.LevelInfo:
		return slog.String(a.Key, "debug")
	}
	return slog.String(a.Key, strings.ToLower(level.String()))
}
