#!/bin/sh
# The command of a user's server. First, what was cut off when the last server was stopped goes on from its last
# checkpoint. A job of another machine, as each container is one, counts as lost two minutes after its last sign of life,
# so this looks twice.
if [ -n "$ONLINEML_PROJECT" ]; then
  for seconds in 0 150; do
    sleep "$seconds"
    onlineml jobs "$ONLINEML_PROJECT" --resume-lost
  done >>"$HOME/.onlineml-resumed.log" 2>&1 &
fi
exec jupyterhub-singleuser "$@"
