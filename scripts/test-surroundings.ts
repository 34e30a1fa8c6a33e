/** Test files that run again in a foreign environment, by what it could change. */
const byReason: Readonly<Record<string, readonly string[]>> = {
  // FORCE_COLOR=3 and TERM=xterm-256color, although the output does not go to a terminal.
  colours: [
    'src/cli/exit-codes.test.ts',
    'src/cli/follow/json-lines.test.ts',
    'src/cli/follow/text-out.test.ts',
    'src/cli/render/agent-display.test.ts',
    'src/cli/render/failures.test.ts',
    'src/cli/render/run-display.test.ts',
    'src/cli/render/summary.test.ts',
    'src/cli/render/terminal-text.test.ts',
    'test/e2e/cli.test.ts',
    'test/e2e/exit-codes.test.ts',
    'test/e2e/hostile-names.test.ts',
    'test/e2e/log-lines.test.ts',
  ],
  // TZ=Pacific/Chatham: 45 minutes off the hour, with two clock changes a year.
  zone: [
    'src/platform/log.test.ts',
    'src/platform/time.test.ts',
    'src/hub/auth/tokens.test.ts',
    'src/hub/ops/backup.test.ts',
    'src/hub/ops/retention.test.ts',
    'src/runner/sessions/session-clock.test.ts',
    'test/e2e/views.test.ts',
  ],
  // LC_ALL=tr_TR.UTF-8: the capital of "i" is not "I", and programs may print messages that are not English.
  language: [
    'src/config/environment.test.ts',
    'src/config/settings.test.ts',
    'src/contract/names.test.ts',
    'src/engine/workflow-file/hints/did-you-mean.test.ts',
    'src/engine/workflow-file/mistakes.test.ts',
    'src/engine/workflow-file/when.test.ts',
    'src/forge/address.test.ts',
    'src/runner/git/git-words.test.ts',
    'src/runner/masking/masker.test.ts',
    'src/runner/proxy/addresses.test.ts',
    'src/runner/sources/clone.test.ts',
  ],
  // umask 077: files that other users must read need explicit modes, and modes in archives are those of the files.
  umask: [
    'src/platform/files.test.ts',
    'src/platform/pid-lock.test.ts',
    'src/runner/attempts/attempts.test.ts',
    'src/runner/sources/folder-entries.test.ts',
    'src/runner/sources/pack.test.ts',
    'src/runner/sources/unpack.test.ts',
    'src/stores/artifacts/artifact-store.test.ts',
    'src/stores/sqlite/database.test.ts',
    'test/e2e/secrets.test.ts',
  ],
  // HOME contains a blank, an apostrophe and a letter that is not ASCII.
  home: [
    'src/docker/registry-logins.test.ts',
    'src/cli/local/local-sessions.test.ts',
    'src/config/config-file.test.ts',
    'src/runner/sessions/session-homes.test.ts',
    'test/e2e/launcher.test.ts',
  ],
}

/** The reason for each file of the list. */
export const surroundings: ReadonlyMap<string, string> = new Map(
  Object.entries(byReason).flatMap(([why, files]) => files.map((file) => [file, why] as const)),
)
