import { command } from './command.ts'
import { runOptions } from './run-options.ts'
import { fileArgument, fileOption } from './workflow-source.ts'

export const dispatch = command({
  summary: 'Run a workflow file on the agent servers that its inventory names by address.',
  args: '[file|-]',
  options: {
    ...fileOption,
    token: { type: 'string', value: 'TOKEN', help: 'Token of the agent servers (default: ERRAND_TOKEN)' },
    ...runOptions,
  },
  examples: ['errand dispatch --token T flow.yaml'],
  async run(options, args) {
    const [{ conductHere }, { HttpHost }, { GivenSecrets }, { secretValues }] = await Promise.all([
      import('./conduct-here.ts'),
      import('../dialects/host-agent/http-host.ts'),
      import('../engine/given-secrets.ts'),
      import('./secret-values.ts'),
    ])
    const token = options.token ?? (process.env.ERRAND_TOKEN || undefined)
    const secrets = new GivenSecrets(secretValues(options.secret))
    const host = new HttpHost({ token, secrets })
    return await conductHere(fileArgument(options.file, args), host, options, secrets)
  },
})
