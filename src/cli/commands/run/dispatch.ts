import { existsSync } from 'node:fs'
import { setting } from '../../../config/read-setting.ts'
import { type CommandGroup, command, UsageError } from '../../command.ts'
import { runOptions } from '../../run-options.ts'
import { fileArgument, fileOption } from '../../workflow-source.ts'
import { fitTo, hostOption, tokenOption } from './dispatch-hosts.ts'
import { dispatchCancel, dispatchTasks } from './dispatch-tasks.ts'

const alone = command({
  summary: 'Run a workflow file on the agent servers that its inventory, or --host, names by address.',
  args: '[file|-]',
  options: { ...fileOption, ...tokenOption, ...hostOption, ...runOptions },
  examples: [
    'errand dispatch --token T flow.yaml',
    'errand dispatch --token T --host 10.0.0.5:7072 hello.yaml',
    'errand dispatch --token T --host web1=10.0.0.5 --host web2=10.0.0.6 flow.yaml',
  ],
  async run(options, args) {
    const file = fileArgument(options.file, args)
    if (Object.hasOwn(dispatch.commands, file) && !existsSync(file))
      throw new UsageError(
        `the command "${file}" must come before the options`,
        `write: errand dispatch ${file} --host ADDR ...`,
      )
    const [{ conductHere }, { HttpHost }, { GivenSecrets }, { secretValues }] = await Promise.all([
      import('../../local/conduct-local.ts'),
      import('../../../compat/host-agent/http-host.ts'),
      import('../../../stores/secrets/given-secrets.ts'),
      import('../../secret-values.ts'),
    ])
    const token = options.token ?? setting(process.env, 'ERRAND_TOKEN of agent servers')
    const secrets = new GivenSecrets(secretValues(options.secret))
    const host = new HttpHost({ token, secrets })
    const hosts = fitTo(options.host, token, options.json ?? false)
    return await conductHere(file, host, options, secrets, hosts)
  },
})

export const dispatch: CommandGroup = {
  summary: 'List and cancel the tasks of agent servers.',
  alone,
  commands: { tasks: dispatchTasks, cancel: dispatchCancel },
}
