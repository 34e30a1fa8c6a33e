import { SNAPSHOT_REF } from '../../contract/tasks/actions.ts'
import type { Playbook, PlaybookStep } from '../../contract/tasks/playbook.ts'
import { shellWord } from '../../platform/text.ts'
import type { ConditionFacts } from '../../playbooks/condition-facts.ts'
import { begin } from '../../playbooks/progress.ts'

/**
 * Keeps the workspace as a tree, so that what tests leave behind is never committed. In the agent's own repository, with an index of
 * its own: a copy, since nothing that is unchanged is read then.
 */
export const SNAPSHOT_COMMAND = [
  // A command that begins with a comment is shown by that.
  '# keep the work as it is before the tests',
  'd=$(git rev-parse --absolute-git-dir) || exit 1',
  'export GIT_INDEX_FILE="$d/errand-index"',
  // With its time: a file that was changed within the same moment is known by that alone.
  'cp -p "$d/index" "$GIT_INDEX_FILE" 2>/dev/null || rm -f "$GIT_INDEX_FILE"',
  'git -c core.hooksPath=/dev/null -c core.fsmonitor=false add -A . &&',
  `git update-ref ${SNAPSHOT_REF} "$(git write-tree)" && rm -f "$GIT_INDEX_FILE"`,
].join('\n')

export interface VerifyCommands {
  /** For an agent's session: run one after another, until one fails. */
  commands: string[]
  /** The tests among them as a person, or an agent, reads them; empty: there are none. */
  text: string
}

const MAX_TEXT = 8 * 1024

/**
 * The commands by which an agent's work is verified while it is at it: the tests of its playbook whose failure counts. Conditions
 * that ask what was changed are taken as true, since nobody knows yet.
 */
export function verifyCommands(playbook: Playbook | undefined, facts: ConditionFacts): VerifyCommands {
  const tests = playbook === undefined ? [] : testsOf(playbook, facts)
  const commands = [SNAPSHOT_COMMAND]
  for (const step of tests) {
    commands.push(commandOf(step))
    if (step.commits) commands.push(SNAPSHOT_COMMAND)
  }
  const text = tests.map(({ command }) => command.trim()).join('\n')
  const cut = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}\n(… more)` : text
  return { commands, text: cut }
}

function testsOf(playbook: Playbook, facts: ConditionFacts): PlaybookStep[] {
  const steps = playbook.steps.map((step) =>
    asksForChanges(step) ? { ...step, condition: undefined } : step,
  )
  return begin({ ...playbook, steps }, 'test', facts)
    .steps.filter(({ holds, step }) => holds && !step.allow_failure)
    .map(({ step }) => step)
}

export const asksForChanges = ({ condition }: PlaybookStep): boolean =>
  typeof condition === 'string' && /\bchanged\s*\(/.test(condition)

/** With the variables of the step; tries and times of a playbook are those of the test that follows. */
function commandOf({ command, env = {} }: PlaybookStep): string {
  const variables = Object.entries(env).map(([name, value]) => `export ${name}=${shellWord(String(value))}`)
  return [...variables, command].join('\n')
}
