import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { ErrandClient } from '../../client/client.ts'
import { runnerEnvironment } from '../../config/environment.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { FailingService } from '../../contract/hub-api.ts'
import { lockHolder } from '../../platform/pid-lock.ts'
import { storedEnrolment } from '../commands/runner/runner-enrolment.ts'
import { isSession } from '../connection.ts'
import { expiresSoon } from '../option-values.ts'
import { type Check, type CheckContext, type Finding, ok, problem, warning } from './check.ts'

const WITHIN_MS = 10_000

export const hubReach: Check = {
  name: 'hub',
  async run({ hub: { url, token, known } }: CheckContext) {
    if (!known) return [ok('No hub is set for the commands here. errand run does not need one.')]
    const client = new ErrandClient({ url, token })
    try {
      const { version } = await client.health(AbortSignal.timeout(WITHIN_MS))
      return [
        ok(`The hub at ${url} answers (version ${version}).`),
        await tokenOf(client, token),
        ...(await setAsideAt(client, token)),
      ]
    } catch (error) {
      const { message, hint } = asErrand(error)
      return [problem(message, hint ?? 'Check the address, and whether the hub is running.')]
    }
  },
}

/** Lists the runs that are set aside, if the token belongs to an operator. */
async function setAsideAt(client: ErrandClient, token: string | undefined): Promise<Finding[]> {
  if (token === undefined) return []
  const { set_aside: named = [], runs_set_aside: count = 0 } = await client
    .facts()
    .catch(() => ({ set_aside: [], runs_set_aside: 0 }))
  const found = named.map(({ run_id, since, why }) =>
    problem(
      `Run ${run_id} is set aside since ${since}: ${why}`,
      `Update Errand, or look into the log of the hub. Then: errand runs resume ${run_id}, or errand runs cancel ${run_id}`,
    ),
  )
  if (count > named.length)
    found.push(
      problem(`${count - named.length} more runs are set aside.`, 'Resume or cancel the named ones first.'),
    )
  return found
}

async function tokenOf(client: ErrandClient, token: string | undefined): Promise<Finding> {
  if (token === undefined)
    return warning('There is no token for that hub.', `errand login ${client.url}, or set ERRAND_TOKEN.`)
  try {
    const { expires_at } = await client.auth.me()
    const soon = isSession(token) ? undefined : expiresSoon(expires_at)
    if (soon === undefined) return ok('The token for that hub is valid.')
    return warning(`The token for that hub expires ${soon}.`, 'Create another with: errand tokens create')
  } catch (error) {
    const { message, hint } = asErrand(error)
    return problem(message, hint ?? `errand login ${client.url}`)
  }
}

const asErrand = (error: unknown): { message: string; hint?: string } =>
  error instanceof ErrandError ? error : { message: `The hub does not answer: ${(error as Error).message}.` }

/** Reports the outside services that fail, as the hub lists them for an admin. */
export const outsideServices: Check = {
  name: 'services',
  async run({ hub: { url, token, known } }: CheckContext) {
    if (!known || token === undefined) return []
    let failing: FailingService[]
    try {
      ;({ failing } = await new ErrandClient({ url, token }).services(AbortSignal.timeout(WITHIN_MS)))
    } catch {
      // The token is not an admin's, or the hub does not answer, which another check reports.
      return []
    }
    if (failing.length === 0) return [ok('No outside service of the hub is failing.')]
    return failing.map(({ service, address, since, times, message }) =>
      warning(
        `${service} at ${address} has failed since ${since} (${times === 1 ? 'once' : `${times} times in a row`}): ${message}`,
        'Check that it is up and that the hub can reach it. The hub tries again automatically and needs no restart.',
      ),
    )
  },
}

export const hubPort: Check = {
  name: 'port',
  async run({ data, listen: { host, port } }: CheckContext) {
    const holder = lockHolder(join(data, 'lock'))
    if (holder?.alive) return [ok(`A hub is running here, with process id ${holder.pid}.`)]
    const server = createServer().listen(port, host)
    try {
      await once(server, 'listening')
      return [ok(`Port ${port} on ${host} is free for a hub.`)]
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      const what = code === 'EADDRINUSE' ? 'is taken by another program' : `cannot be used: ${message}`
      return [
        problem(
          `Port ${port} on ${host} ${what}.`,
          `Start the hub with another: errand up --port ${port + 1}`,
        ),
      ]
    } finally {
      server.close()
    }
  },
}

export const enrolment: Check = {
  name: 'runner',
  async run({ workspace, env }: CheckContext) {
    try {
      const { hubUrl, token } = runnerEnvironment(env)
      if (hubUrl !== undefined && token !== undefined)
        return [ok(`A runner here takes its hub (${hubUrl}) and token from the environment.`)]
      const stored = storedEnrolment(workspace)
      if (stored === undefined)
        return [ok('This machine is not enrolled as a runner. To enrol it: errand runner enroll')]
      return [ok(`This machine is enrolled as runner "${stored.runner_id}" of ${stored.hub_url}.`)]
    } catch (error) {
      if (!(error instanceof ErrandError)) throw error
      return [problem(error.message, error.hint ?? 'See docs/runners.md.')]
    }
  },
}
