import { ConfigFile, configPath } from '../../config/config-file.ts'
import { allowedHosts, trustedProxies } from '../../config/environment.ts'
import { setting } from '../../config/read-setting.ts'
import { settingKeys } from '../../config/settings.ts'
import { ErrandError } from '../../contract/errors.ts'
import { type Check, type Finding, ok, problem, warning } from './check.ts'

export const environment: Check = {
  name: 'environment',
  async run({ env }) {
    const found: Finding[] = []
    for (const key of settingKeys)
      try {
        if (key === 'ERRAND_HOST_ALLOW') allowedHosts(env)
        else if (key === 'ERRAND_TRUSTED_PROXIES') trustedProxies(env)
        else setting(env, key)
      } catch (error) {
        if (!(error instanceof ErrandError)) throw error
        found.push(problem(error.message, error.hint ?? 'See docs/cli.md.'))
      }
    return found.length > 0 ? found : [ok('The environment variables of hub and runner are valid.')]
  },
}

export const hubConfig: Check = {
  name: 'config',
  async run({ data, env }) {
    const file = configPath(undefined, data, env)
    if (file === undefined) return [ok('There is no errand.yaml. A hub does not need one.')]
    const warnings: string[] = []
    try {
      new ConfigFile({ file, log: (message) => warnings.push(message) }).close()
    } catch (error) {
      if (!(error instanceof ErrandError)) throw error
      return [problem(error.message, error.hint ?? 'See docs/runners.md.')]
    }
    return warnings.length === 0
      ? [ok(`${file} is valid.`)]
      : warnings.map((message) => warning(message, 'Correct it or remove it.'))
  },
}
