import { hostname } from 'node:os'
import { runnerEnvironment } from '../../../config/environment.ts'
import { command, UsageError } from '../../command.ts'
import { checkedName } from '../../option-values.ts'
import { enrol, enrolmentFile, runnerWorkspace, workspaceOption } from './runner-enrolment.ts'

export const enroll = command({
  summary: 'Enrol this machine as a runner of a hub, with a token that is valid for one use.',
  options: {
    hub: { type: 'string', value: 'URL', help: 'The hub (default: ERRAND_HUB_URL)' },
    token: {
      type: 'string',
      value: 'TOKEN',
      help: 'Token from errand runners enroll-token (default: ERRAND_ENROLL_TOKEN)',
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
      throw new UsageError('the address of the hub is missing', 'set it with --hub or ERRAND_HUB_URL')
    if (token === undefined)
      throw new UsageError(
        'the enrolment token is missing',
        'an admin creates one with: errand runners enroll-token',
      )
    const workspace = runnerWorkspace(options.workspace, found)
    if (options.id !== undefined) checkedName('--id', options.id)
    const runnerId = options.id ?? found.runnerId ?? hostname()
    const { runner_id, hub_url } = await enrol({ url, token, runnerId, workspace })
    process.stdout.write(
      `This machine is the runner "${runner_id}" of ${hub_url} (stored in ${enrolmentFile(workspace)}).\n` +
        `Start it with: errand runner${options.workspace === undefined ? '' : ` --workspace ${options.workspace}`}\n`,
    )
    return 0
  },
})
