import { hostname } from 'node:os'
import type { RunnerEnvironment } from '../config/environment.ts'
import { UsageError } from './command.ts'
import { type Enrolment, enrolledWith, enrolPatiently, keptEnrolment } from './runner-enrolment.ts'

/** Who the runner is, and of which hub: as it is told, else as it was enrolled; it enrols where it has not yet. */
export async function identityOf(
  options: { url?: string; token?: string; id?: string },
  found: RunnerEnvironment,
  workspace: string,
  patience: Parameters<typeof enrolPatiently>[1],
): Promise<{ url: string; token: string; id: string }> {
  let kept: Enrolment | undefined = keptEnrolment(workspace)
  const url = options.url ?? found.hubUrl ?? kept?.hub_url
  if (url === undefined)
    throw new UsageError('a runner needs the address of its hub', 'give it with --url or ERRAND_HUB_URL')
  const given = options.token ?? found.token
  const once = found.enrollToken
  if (given === undefined && once !== undefined && !(kept && enrolledWith(kept, once))) {
    const runnerId = options.id ?? found.runnerId ?? kept?.runner_id ?? hostname()
    kept = await enrolPatiently({ url, token: once, runnerId, workspace }, patience)
  }
  const token = given ?? kept?.token
  if (token === undefined)
    throw new UsageError(
      'this machine is not enrolled',
      'make a token with: errand runners enroll-token, and give it to: errand runner enroll',
    )
  return { url, token, id: options.id ?? found.runnerId ?? kept?.runner_id ?? hostname() }
}
