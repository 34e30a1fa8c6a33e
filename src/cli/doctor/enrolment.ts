import { runnerEnvironment } from '../../config/environment.ts'
import { ErrandError } from '../../contract/errors.ts'
import { keptEnrolment } from '../runner-enrolment.ts'
import { type Check, ok, type Place, problem } from './check.ts'

export const enrolment: Check = {
  name: 'runner',
  async run({ workspace, env }: Place) {
    try {
      const { hubUrl, token } = runnerEnvironment(env)
      if (hubUrl !== undefined && token !== undefined)
        return [ok(`A runner here takes its hub (${hubUrl}) and token from the environment.`)]
      const kept = keptEnrolment(workspace)
      if (kept === undefined)
        return [ok('This machine is enrolled as no runner; errand runner enroll makes it one.')]
      return [ok(`This machine is enrolled as runner "${kept.runner_id}" of ${kept.hub_url}.`)]
    } catch (error) {
      if (!(error instanceof ErrandError)) throw error
      return [problem(error.message, error.hint ?? 'See docs/runners.md.')]
    }
  },
}
