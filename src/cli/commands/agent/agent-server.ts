import { join } from 'node:path'
import { setting } from '../../../config/read-setting.ts'
import { ErrandError } from '../../../contract/errors.ts'
import { command, UsageError } from '../../command.ts'
import { errandHome } from '../../local/errand-home.ts'
import { takeFolderLock } from '../../local/folder-lock.ts'
import { untilSignal } from '../../until-signal.ts'
import { productVersion } from '../../version.ts'

export const agentServer = command({
  summary: 'Let "errand dispatch" on other machines run steps here, over HTTP.',
  options: {
    addr: {
      type: 'string',
      value: 'ADDR',
      help: 'Address to listen on (default: :7072, this machine only; 0.0.0.0:7072 for all networks)',
    },
    token: { type: 'string', value: 'TOKEN', help: 'Token that callers must send (default: ERRAND_TOKEN)' },
    data: {
      type: 'string',
      value: 'DIR',
      help: 'Folder for work in progress (default: below ~/.errand/agent-server)',
    },
  },
  examples: [
    'errand agent-server --addr :7072 --token T',
    'errand agent-server --addr 0.0.0.0:7072 --token T',
  ],
  async run({ addr = ':7072', token = setting(process.env, 'ERRAND_TOKEN of agent servers'), data }) {
    if (token === undefined || token === '')
      throw new UsageError('an agent server needs a token', 'set it with --token or ERRAND_TOKEN')
    // Each server on a machine has its own folder.
    const folder = data ?? join(errandHome(), 'agent-server', addr.replace(/[^\w.]+/g, '_'))
    const lock = takeFolderLock({ path: folder, what: 'data folder', option: '--data' }, 'lock')
    if ('holder' in lock) {
      throw new ErrandError('data_folder_locked', `${folder} is in use by process ${lock.holder.pid}.`, {
        hint: 'Give this server another folder with --data.',
      })
    }
    const [{ openAttempts }, { builtinActionRegistry }, { createHostAgent }, limitsHere, mounted] =
      await Promise.all([
        import('../../../runner/open-attempts.ts'),
        import('../../../actions/registry.ts'),
        import('../../../compat/host-agent/server.ts'),
        import('../../../runner/limits/limit-keeper.ts'),
        import('../../../runner/secrets/machine-secrets.ts'),
      ])
    const limits = limitsHere.limitsHere(join(folder, 'attempts'), process.env)
    const attempts = openAttempts({
      dir: join(folder, 'attempts'),
      limits,
      workspaceDir: join(folder, 'workspace'),
      workspace: 'cwd',
      registry: builtinActionRegistry,
      mountedSecretsDir: mounted.mountedSecretsDir(process.env),
    })
    const agent = createHostAgent({
      attempts,
      token,
      version: productVersion,
      log: (line) => process.stderr.write(`${line}\n`),
    })
    try {
      const { url } = await agent.listen(addr)
      process.stdout.write(`Agent server on ${url}, work in progress in ${folder}\n`)
      process.stderr.write(`${limitsHere.limitsText(limits.choice)}\n`)
      await untilSignal()
    } finally {
      await agent.close()
      await attempts.close()
      lock.release()
    }
    return 0
  },
})
