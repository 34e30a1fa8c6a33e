import assert from 'node:assert/strict'
import type { RunView } from '../../src/contract/run.ts'
import type { RunStatus } from '../../src/contract/status.ts'
import { type Programs, type Step, workflowText } from '../support/programs.ts'
import { outputHash, readIfThere, sha256, textOf, wholeLog } from '../support/programs-output.ts'

/** A file in which each command notes its beginning, by the id of its attempt. */
type Note = string

export interface StormRun {
  yaml(note: Note, id: string): string
  /** Whether it never ends, and has to be canceled once it has begun. */
  endless?: boolean
  status: RunStatus
  /** The number of its attempts, each of which begins once. */
  attempts: number
  /** The output of attempts by their number. */
  outputs: Readonly<Record<number, (id: string) => string>>
}

const noted = (note: Note, cmd: string): string => `echo "$ERRAND_ATTEMPT_ID" >>"${note}"; ${cmd}`

const PARTS = 6
const PART_BYTES = 300_000
const part = (index: number): string =>
  `${index} 0123456789abcdef\n`.repeat(PART_BYTES / 16).slice(0, PART_BYTES)
const large = Array.from({ length: PARTS }, (_, index) => part(index)).join('')
const printLarge = `i=0; while [ $i -lt ${PARTS} ]; do yes "$i 0123456789abcdef" | head -c ${PART_BYTES}; i=$((i+1)); sleep 0.03; done; exit 0`
const quickRetry = { max_attempts: 3, backoff: { delay_seconds: 0.1, factor: 1 } }

function text(note: Note, steps: Step[], last: Step[] = []): string {
  const written = (step: Step) => ({
    ...step,
    action: 'cmd.run',
    args: { ...step.args, cmd: noted(note, step.cmd!) },
    cmd: undefined,
  })
  return workflowText(steps.map(written), last.length > 0 ? { finally: last.map(written) } : {})
}

/** Runs of all kinds, none of which may show a fault. */
export const stormRuns: readonly StormRun[] = [
  {
    yaml: (note, id) =>
      text(note, [
        { name: 'make', cmd: `echo "BOPS_EXPORT:WORD=word-${id}"`, args: { export_vars: true } },
        { name: 'print', cmd: printLarge },
        { name: 'use', cmd: 'echo "the word is $WORD"' },
      ]),
    status: 'success',
    attempts: 3,
    outputs: {
      1: (id) => `BOPS_EXPORT:WORD=word-${id}\n`,
      2: () => large,
      3: (id) => `the word is word-${id}\n`,
    },
  },
  {
    yaml: (note) =>
      text(note, [
        {
          name: 'flaky',
          cmd: 'sleep 0.05; echo "try $ERRAND_TRY"; [ "$ERRAND_TRY" = 3 ]',
          retry: quickRetry,
        },
        { name: 'after', cmd: 'echo after >&1' },
      ]),
    status: 'success',
    attempts: 4,
    outputs: { 1: () => 'try 1\n', 2: () => 'try 2\n', 3: () => 'try 3\n', 4: () => 'after\n' },
  },
  {
    yaml: (note) =>
      text(
        note,
        [
          { name: 'endless', cmd: 'echo begun; sleep 100000' },
          { name: 'never', cmd: 'echo never' },
        ],
        [{ name: 'tidy', cmd: 'echo tidied' }],
      ),
    endless: true,
    status: 'canceled',
    attempts: 2,
    outputs: { 1: () => 'begun\n', 2: () => 'tidied\n' },
  },
  {
    yaml: (note) =>
      text(
        note,
        [
          { name: 'fails', cmd: 'sleep 0.1; echo failing; exit 3' },
          { name: 'never', cmd: 'echo never' },
        ],
        [{ name: 'tidy', cmd: 'sleep 0.05; echo tidied' }],
      ),
    status: 'failed',
    attempts: 2,
    outputs: { 1: () => 'failing\n', 2: () => 'tidied\n' },
  },
]

/** Checks that it ended as it says, that each command began once, and that each output is complete. */
export async function checkStormRun(
  { client }: Programs,
  kind: StormRun,
  run: RunView,
  note: Note,
): Promise<void> {
  const id = run.run_id
  assert.equal(run.status, kind.status, JSON.stringify(run))
  const begun = Array.from({ length: kind.attempts }, (_, index) => `${id}.${index + 1}\n`)
  assert.equal(readIfThere(note), begun.join(''), `the attempts of ${id} that started`)
  const events = await wholeLog(client, id)
  assert.equal(events.filter(({ type }) => type === 'attempt.created').length, kind.attempts, id)
  for (const [number, expected] of Object.entries(kind.outputs)) {
    const text = expected(id)
    const { sha256: hash } = await outputHash(client, id, Number(number))
    assert.equal(hash, sha256(text), `output of ${id}.${number}`)
    assert.equal(textOf(events, Number(number)), text, `events of ${id}.${number}`)
  }
}
