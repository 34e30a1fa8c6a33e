import { join } from 'node:path'
import { ErrandError } from '../../contract/errors.ts'
import { limitsHere, limitsText } from '../../runner/limits/limits-here.ts'
import { type Check, ok, type Place, problem, warning } from './check.ts'

export const cgroups: Check = {
  name: 'limits',
  async run({ workspace, env }: Place) {
    try {
      const { choice } = limitsHere(join(workspace, 'attempts'), env)
      const text = limitsText(choice)
      if (choice.heldBy !== 'watchdog') return [ok(text)]
      return [
        warning(
          text,
          'For exact limits run the runner as root, or in a cgroup that is delegated to it (systemd: Delegate=yes).',
        ),
      ]
    } catch (error) {
      if (!(error instanceof ErrandError)) throw error
      return [problem(error.message, error.hint ?? 'See docs/limits.md.')]
    }
  },
}
