import { SNAPSHOT_REF } from '../../contract/tasks/actions.ts'
import type { Playbook, PlaybookStep } from '../../contract/tasks/playbook.ts'
import { shellWord } from '../../platform/text.ts'
import type { ConditionFacts } from '../../playbooks/condition-facts.ts'
import { begin } from '../../playbooks/progress.ts'

/**
 * Script that stores the workspace as a tree, so that leftovers of tests are never committed. It works in the agent's
 * own repository, with a separate index: a copy, so that unchanged files are not read.
 */
export const SNAPSHOT_COMMAND = [
  // A command that begins with a comment is displayed as that.
  '# keep the work as it is before the tests',
  'd=$(git rev-parse --absolute-git-dir) || exit 1',
  'export GIT_INDEX_FILE="$d/errand-index"',
  // With its time: only that reveals a file that was changed within the same moment.
  'cp -p "$d/index" "$GIT_INDEX_FILE" 2>/dev/null || rm -f "$GIT_INDEX_FILE"',
  'git -c core.hooksPath=/dev/null -c core.fsmonitor=false add -A . &&',
  `git update-ref ${SNAPSHOT_REF} "$(git write-tree)" && rm -f "$GIT_INDEX_FILE"`,
].join('\n')

export interface VerifyCommands {
  /** Commands for an agent's session: run one after another until one fails. */
  commands: string[]
  /** Tests among them, as text for a person or an agent; empty if there are none. */
  text: string
}

const MAX_TEXT = 8 * 1024

/**
 * Returns the commands that verify an agent's work in progress: the tests of its playbook whose failure counts.
 * Conditions about what was changed count as true, since that is not known yet.
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
  const steps = playbook.steps.map((step) => (usesChanges(step) ? { ...step, condition: undefined } : step))
  return begin({ ...playbook, steps }, 'test', facts)
    .steps.filter(({ holds, step }) => holds && !step.allow_failure)
    .map(({ step }) => step)
}

export const usesChanges = ({ condition }: PlaybookStep): boolean =>
  typeof condition === 'string' && /\bchanged\s*\(/.test(condition)

/**
 * Returns the command with the variables of the step; tries and times of a playbook belong to the test that follows.
 */
function commandOf({ command, env = {} }: PlaybookStep): string {
  const variables = Object.entries(env).map(([name, value]) => `export ${name}=${shellWord(String(value))}`)
  return [...variables, command].join('\n')
}
