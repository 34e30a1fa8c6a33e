import type { Task } from '../contract/tasks/task.ts'
import { CANNOT } from './task-prompt.ts'
import type { Step, TaskSteps } from './task-steps.ts'
import { plain } from './workflow.ts'

/** The condition of steps that a try without a change skips. */
export const changed = '${TIP_SHA:-} != ""'
const protectedFiles = '${ASKED:-} != "" && ${TIP_SHA:-} != ""'
/** True when the last push has put the change onto others' commits, and left the rest to these steps. */
const moved = '${MOVED:-} == "yes"'
const conflicts = '${CONFLICTS:-} != ""'

/**
 * Most rounds of catching up with a branch that keeps moving while its change is tested; the rest is for a later try.
 */
const MOST_ROUNDS = 2

export interface PushSurroundings {
  test(name: string, when: string): Step
  /** True when nothing was installed for tests, because the try has none of its own. */
  isBare: boolean
}

/**
 * Makes the steps from the carried change to the branch. The push itself catches up with a branch that others have
 * moved. What must then be tested, or mended by the agent, gets as many rounds as are needed, up to the limit.
 */
export function pushSteps(task: Task, steps: TaskSteps, { test, isBare }: PushSurroundings): Step[] {
  const rounds = Math.min(task.git_retry_count, MOST_ROUNDS)
  const all: Step[] = [
    { ...approval('protected_approval', protectedFiles), on_demand: true },
    push(task, steps, { name: 'push', when: changed, isFirst: true, isLast: rounds === 0 }),
  ]
  const again: Step[] = []
  for (let round = 1; round <= rounds; round++) {
    if (task.conflicts === 'agent')
      again.push(
        repairStep(task, steps, `mend.${round}`),
        steps.copyStep(`carry.mended_${round}`, conflicts, { mended: true }),
        approval(`protected_approval.${round}`, `${conflicts} && ${protectedFiles}`),
      )
    if (isBare && round === 1) again.push({ ...steps.playbook('setup.moved_1', 'setup'), when: moved })
    again.push(
      test(`test.moved_${round}`, moved),
      push(task, steps, { name: `push.${round + 1}`, when: moved, isFirst: false, isLast: round === rounds }),
    )
  }
  return [...all, ...again.map((step) => ({ ...step, on_demand: true }))]
}

function approval(name: string, when: string): Step {
  return {
    name,
    action: 'approval.wait',
    when,
    args: {
      message: 'The change touches protected files: ${ASKED:-}. Look at the diff. Push it?',
    },
  }
}

function push(
  { on_base_moved, retest, conflicts, force, git_retry_count }: Task,
  steps: TaskSteps,
  { name, when, isFirst, isLast }: { name: string; when: string; isFirst: boolean; isLast: boolean },
): Step {
  const onto = isFirst && on_base_moved !== 'ignore' ? { ref: '${BASE_REF}', how: on_base_moved } : undefined
  const args = {
    ...{ branch: '${BRANCH}', tip: '${TIP_SHA}', expected: '${BRANCH_SHA:-}', start: '${START_SHA}' },
    ...{ force, retry_count: git_retry_count, onto, retest, conflicts, last: isLast },
    protect: steps.protection(),
  }
  return { ...steps.withToken(name, 'git.push', args), when }
}

function repairStep({ permissions, verify_attempts }: Task, steps: TaskSteps, name: string): Step {
  return {
    name,
    action: 'agent.run',
    when: conflicts,
    args: {
      ...steps.agent(),
      permissions: plain(permissions),
      prompt: steps.prompt('mend', { conflicts: 'CONFLICTS' }),
      verify_list: '${VERIFY:-}',
      verify_attempts,
      gives_up_with: CANNOT,
    },
    ...steps.agentStep(),
    outputs: { ANSWER: 'answer' },
  }
}
