import { hostname } from 'node:os'
import { runnerEnvironment } from '../../../config/environment.ts'
import { command, UsageError } from '../../command.ts'
import { givenName } from '../../option-values.ts'
import { enrol, enrolmentFile, runnerWorkspace, workspaceOption } from './runner-enrolment.ts'

export const enroll = command({
  summary: 'Make this machine a runner of a hub, by a token that is good once.',
  options: {
    hub: { type: 'string', value: 'URL', help: 'The hub (default: ERRAND_HUB_URL)' },
    token: {
      type: 'string',
      value: 'TOKEN',
      help: 'Of errand runners enroll-token (default: ERRAND_ENROLL_TOKEN)',
    },
    id: { type: 'string', value: 'ID', help: 'Unique id (default: ERRAND_RUNNER_ID, the hostname)' },
    ...workspaceOption,
  },
  examples: ['errand runner enroll --hub http://hub:3000 --token errand_enroll_... && errand runner'],
  async run(options) {
    const found = runnerEnvironment(process.env)
    const url = options.hub ?? found.hubUrl
    const token = options.token ?? found.enrollToken
    if (url === undefined)
      throw new UsageError('the address of the hub is missing', 'give it with --hub or ERRAND_HUB_URL')
    if (token === undefined)
      throw new UsageError(
        'the enrolment token is missing',
        'an admin makes one with: errand runners enroll-token',
      )
    const workspace = runnerWorkspace(options.workspace, found)
    if (options.id !== undefined) givenName('--id', options.id)
    const runnerId = options.id ?? found.runnerId ?? hostname()
    const { runner_id, hub_url } = await enrol({ url, token, runnerId, workspace })
    process.stdout.write(
      `This machine is the runner "${runner_id}" of ${hub_url} (kept in ${enrolmentFile(workspace)}).\n` +
        `Start it with: errand runner${options.workspace === undefined ? '' : ` --workspace ${options.workspace}`}\n`,
    )
    return 0
  },
})
