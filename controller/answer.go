package controller

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// Answer is a decision in one line: "allow RULE", with the reason behind it where that is not Allowed; or "deny STATUS
// REASON RULE".
func Answer(d policy.Decision) string { return answer(d, nil) }

// answer is a decision in one line, with the parts that are named.
func answer(d policy.Decision, parts []string) string {
	status := d.Reason.Status()
	if d.Refusal != nil && d.Refusal.Status != 0 {
		status = int(d.Refusal.Status)
	}
	var b strings.Builder
	b.WriteString(verdict(d.Verdict, status))
	for _, part := range parts {
		text, ok := describe(d, part)
		if !ok {
			text = fmt.Sprintf("is no part of an answer; there are %s", strings.Join(answerParts(), ", "))
		}
		b.WriteString(" | " + part + " " + text)
	}
	return b.String()
}

func verdict(v policy.Verdict, status int) string {
	rule := v.Rule
	switch {
	case v.Allow && v.Reason == policy.ReasonAllowed:
		return "allow " + rule
	case v.Allow && rule == "":
		return "allow - " + string(v.Reason)
	case v.Allow:
		return "allow " + rule + " " + string(v.Reason)
	case v.Reason == policy.ReasonResourceMetadata:
		return fmt.Sprintf("answer %d %s %s", status, v.Reason, rule)
	}
	return strings.TrimSpace(fmt.Sprintf("deny %d %s %s", status, v.Reason, rule))
}

// partsOf are the names of the parts that an expected answer asks for.
func partsOf(want string) []string {
	var parts []string
	for i, text := range strings.Split(want, " | ") {
		if name, _ := nextWord(text); i > 0 {
			parts = append(parts, name)
		}
	}
	return parts
}

// answerParts are the parts that an answer may have behind the verdict.
func answerParts() []string {
	return []string{"set", "remove", "token", "metadata", "scopes", "step-up", "message", "body", "realm", "redirect", "resources", "document", "dry-run"}
}

// describe is one part of an answer; "-" where there is nothing to it.
func describe(d policy.Decision, part string) (text string, ok bool) {
	refusal := policy.Refusal{}
	if d.Refusal != nil {
		refusal = *d.Refusal
	}
	switch part {
	case "set":
		for _, h := range d.Set {
			text += " " + h.Name + "=" + value(h.Value)
		}
	case "remove":
		text = strings.Join(slices.Sorted(slices.Values(d.Remove)), " ")
	case "token":
		for _, s := range d.RemoveToken {
			text += " " + sourceName(s)
		}
	case "metadata":
		for _, m := range d.Metadata {
			out, err := json.Marshal(m.Value)
			if err != nil {
				out = []byte("?")
			}
			text += " " + m.Key + "=" + string(out)
		}
	case "scopes":
		text = strings.Join(d.Scopes, " ")
	case "step-up":
		text = d.StepUp.String()
	case "message":
		text = d.Message
	case "body":
		text = [...]string{policy.BodyProblemJSON: "ProblemJSON", policy.BodyText: "Text " + refusal.Text, policy.BodyEmpty: "Empty"}[refusal.Body]
	case "realm":
		text = refusal.Realm
	case "redirect":
		if refusal.Redirect != nil {
			text = refusal.Redirect.URL
		}
	case "resources":
		for _, r := range refusal.Resources {
			text += " " + r.MetadataURL
		}
	case "document":
		if d.Document != nil {
			text = d.Document.Body
		}
	case "dry-run":
		if d.DryRun != nil {
			text = verdict(*d.DryRun, d.DryRun.Reason.Status())
		}
	default:
		return "", false
	}
	if text = strings.TrimSpace(text); text == "" {
		text = "-"
	}
	return text, true
}

// value is a header's value, quoted where a space or a quote would be misread.
func value(s string) string {
	if s == "" || strings.ContainsAny(s, " \"|") {
		return string(quote(s))
	}
	return s
}

func sourceName(s token.Source) string {
	switch {
	case s.Header != "":
		return "header:" + s.Header
	case s.Cookie != "":
		return "cookie:" + s.Cookie
	}
	return "query:" + s.QueryParameter
}
