import { ErrandClient } from '../../client/client.ts'
import { ErrandError } from '../../contract/errors.ts'
import { expiresSoon } from '../lifetime.ts'
import { isSession } from '../saved-login.ts'
import { type Check, type Finding, ok, type Place, problem, warning } from './check.ts'

const WITHIN_MS = 10_000

export const hubReach: Check = {
  name: 'hub',
  async run({ hub: { url, token, known } }: Place) {
    if (!known) return [ok('No hub is named for the commands here; errand run needs none.')]
    const client = new ErrandClient({ url, token })
    try {
      const { version } = await client.health(AbortSignal.timeout(WITHIN_MS))
      return [ok(`The hub at ${url} answers (version ${version}).`), await tokenOf(client, token)]
    } catch (error) {
      const { message, hint } = asErrand(error)
      return [problem(message, hint ?? 'Look at the address, and whether the hub is up.')]
    }
  },
}

async function tokenOf(client: ErrandClient, token: string | undefined): Promise<Finding> {
  if (token === undefined)
    return warning('There is no token for that hub.', `errand login ${client.url}, or set ERRAND_TOKEN.`)
  try {
    const { expires_at } = await client.auth.me()
    const soon = isSession(token) ? undefined : expiresSoon(expires_at)
    if (soon === undefined) return ok('The token for that hub is good.')
    return warning(`The token for that hub expires ${soon}.`, 'Make another with: errand tokens create')
  } catch (error) {
    const { message, hint } = asErrand(error)
    return problem(message, hint ?? `errand login ${client.url}`)
  }
}

const asErrand = (error: unknown): { message: string; hint?: string } =>
  error instanceof ErrandError ? error : { message: `The hub does not answer: ${(error as Error).message}.` }
