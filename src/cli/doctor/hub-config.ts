import { ConfigFile, configPath } from '../../config/config-file.ts'
import { ErrandError } from '../../contract/errors.ts'
import { type Check, ok, problem, warning } from './check.ts'

export const hubConfig: Check = {
  name: 'config',
  async run({ data, env }) {
    const file = configPath(undefined, data, env)
    if (file === undefined) return [ok('There is no errand.yaml; a hub needs none.')]
    const warnings: string[] = []
    try {
      new ConfigFile({ file, log: (message) => warnings.push(message) }).close()
    } catch (error) {
      if (!(error instanceof ErrandError)) throw error
      return [problem(error.message, error.hint ?? 'See docs/runners.md.')]
    }
    return warnings.length === 0
      ? [ok(`${file} is understood.`)]
      : warnings.map((message) => warning(message, 'Correct or remove it.'))
  },
}
