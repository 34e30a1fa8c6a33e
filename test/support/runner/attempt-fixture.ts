import { randomInt } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { builtinActionRegistry } from '../../../src/actions/registry.ts'
import type { AttemptEnd, AttemptSpec, StreamName } from '../../../src/contract/attempt.ts'
import { type AttemptsOptions, openAttempts } from '../../../src/runner/open-attempts.ts'
import type { Attempts, HeldAttempt } from '../../../src/runner/ports.ts'
import { patience } from '../patience.ts'

/** Separate folders, attempts in them, and waiting for conditions. */

export function attemptSpec(action: string, args: object, more: Partial<AttemptSpec> = {}): AttemptSpec {
  return {
    attempt_id: `run_test.${randomInt(1, 2 ** 40)}`,
    run_id: 'run_test',
    workflow_name: 'flow',
    step: 'build it',
    host: 'local',
    instance: 0,
    try: 1,
    action,
    args: { ...args },
    env: {},
    requires: {},
    ...more,
  }
}

export const command = (cmd: string, more: Partial<AttemptSpec> = {}) =>
  attemptSpec('cmd.run', {}, { ...more, args: { cmd, ...more.args } })

export interface AttemptFixture extends Disposable {
  path: string
  open(options?: Partial<AttemptsOptions>): Attempts
}

/** Creates a folder that is removed at the end of the test. */
export function place(): AttemptFixture {
  const path = mkdtempSync(join(tmpdir(), 'errand-test-'))
  return {
    path,
    open: (options) =>
      openAttempts({
        dir: join(path, 'attempts'),
        workspaceDir: join(path, 'workspaces'),
        registry: builtinActionRegistry,
        timeoutGraceMs: 100,
        ...options,
      }),
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  }
}

/**
 * Waits for the condition. `progress` returns how far the work is: while that changes, the wait goes on without a
 * limit.
 */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what = 'the condition',
  progress: () => unknown = () => undefined,
): Promise<void> {
  let last = progress()
  let sinceMs = Date.now()
  let reportedMs = sinceMs
  while (!(await condition())) {
    const now = progress()
    if (now !== last) {
      last = now
      sinceMs = Date.now()
      if (sinceMs - reportedMs > 60_000) {
        reportedMs = sinceMs
        console.log(`Still waiting for ${what}: ${now}`)
      }
    }
    if (Date.now() - sinceMs > 120_000 * patience()) throw new Error(`${what} did not come true in time`)
    await sleep(10)
  }
}

export async function endOf(attempt: HeldAttempt): Promise<AttemptEnd> {
  await until(() => attempt.ended, `the end of ${attempt.spec.attempt_id}`)
  return attempt.reports.at(-1) as AttemptEnd
}

export async function textOf(attempt: HeldAttempt, stream: StreamName = 'stdout'): Promise<string> {
  return (await attempt.read(stream, 0, attempt.length(stream))).toString('utf8')
}
