/** Test files that take more than a minute in scripts/test-durations.json (six share two processors), by reason. */
const byReason: Readonly<Record<string, readonly string[]>> = {
  'pods and programs of a real Kubernetes start, end and are killed': [
    'src/hub/provisioners/drivers/kubernetes/kubernetes.test.ts',
    'test/provisioners/kubernetes-document.test.ts',
    'test/provisioners/kubernetes-keys.test.ts',
    'test/provisioners/kubernetes.test.ts',
    'test/support/kubernetes/kubernetes.test.ts',
  ],
  'images are built, and containers start and end, one after the other': [
    'src/runner/bots/docker-faults.test.ts',
    'src/runner/bots/images/custom-source.test.ts',
    'src/runner/bots/images/prepare-image.test.ts',
    'src/runner/docker/connected-docker.test.ts',
    'test/bots/attacks.test.ts',
    'test/bots/examples.test.ts',
    'test/deploy/docker-provisioned.test.ts',
    'test/deploy/image.test.ts',
    'test/outside/docker.test.ts',
    'test/provisioners/docker-runners.test.ts',
  ],
  'a gigabyte, or a large part of one, is written and read': [
    'src/runner/bots/bot-log.test.ts',
    'test/e2e/output-size.test.ts',
  ],
  'hundreds of attacks go through in every kind of box': [
    'test/attacks/container.test.ts',
    'test/attacks/sandbox.test.ts',
  ],
  'the real programs of agents start many times': [
    'test/agents/model-proxy.test.ts',
    'test/agents/sandboxed.test.ts',
  ],
  'hub and runner are started, killed, cut off and waited for many times': [
    'scripts/test-files.test.ts',
    'src/runner/sessions/session-recovery.test.ts',
    'test/e2e/kill.test.ts',
    'test/e2e/tasks-killed.test.ts',
    'test/e2e/up.test.ts',
    'test/faults/partition.test.ts',
    'test/provisioners/provisioned-runners.test.ts',
  ],
  'whole coding tasks run, each with its clone, its checks and its push': [
    'src/runner/change-export/export-and-push.test.ts',
    'test/e2e/tasks.test.ts',
  ],
  'a package is packed and installed, or every command is called wrongly': [
    'test/e2e/bad-input.test.ts',
    'test/e2e/package.test.ts',
  ],
  'a browser goes through many states of a page': [
    'test/web/approvals.test.ts',
    'test/web/large-runs.test.ts',
    'test/web/lasting.test.ts',
    'test/web/log.test.ts',
    'test/web/one-stream.test.ts',
    'test/web/phone-answers.test.ts',
    'test/web/pictures.test.ts',
    'test/web/run-page.test.ts',
    'test/web/runs-list.test.ts',
    'test/web/session.test.ts',
    'test/web/settings.test.ts',
    'test/web/tasks.test.ts',
  ],
}

/** The reason for each file of the list. */
export const slowTests: ReadonlyMap<string, string> = new Map(
  Object.entries(byReason).flatMap(([why, files]) => files.map((file) => [file, why] as const)),
)
