package extauthz

import (
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// dynamicMetadata is what Envoy keeps of a decision under envoy.filters.http.ext_authz.
func dynamicMetadata(d *policy.Decision, id string) *structpb.Struct {
	fields := make(map[string]*structpb.Value, 6+len(d.Metadata))
	for _, m := range d.Metadata {
		// Policy promises values that fit; another one is left out, as a claim is that the token lacks.
		if v, err := structpb.NewValue(m.Value); err == nil {
			fields[m.Key] = v
		}
	}
	verdictFields(fields, &d.Verdict)
	fields["decisionID"] = structpb.NewStringValue(id)
	if d.DryRun != nil {
		dry := make(map[string]*structpb.Value, 4)
		verdictFields(dry, d.DryRun)
		fields["dryRun"] = structpb.NewStructValue(&structpb.Struct{Fields: dry})
	}
	return &structpb.Struct{Fields: fields}
}

func verdictFields(fields map[string]*structpb.Value, v *policy.Verdict) {
	fields["decision"] = structpb.NewStringValue(decisionWord(v.Allow))
	fields["reason"] = structpb.NewStringValue(string(v.Reason))
	fields["policy"] = structpb.NewStringValue(v.Policy)
	fields["rule"] = structpb.NewStringValue(v.Rule)
}

// decisionWord is the word for an answer in metadata and metrics.
func decisionWord(allow bool) string {
	if allow {
		return "Allow"
	}
	return "Deny"
}
