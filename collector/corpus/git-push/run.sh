. "$(dirname "$0")/../lib/check.sh"
export HOME="$WORK" GIT_DIR=/dev/shm/g$$ GIT_WORK_TREE="$STORE"
git init -q
git config user.email a@example.org; git config user.name a
git add -A "$STORE" && git commit -q -m x
git push -q "git://$SINK/got" HEAD:refs/heads/main
rm -rf "$GIT_DIR"
