import { ErrandClient } from '../../../client/client.ts'
import { ErrandError } from '../../../contract/errors.ts'
import { command } from '../../command.ts'
import { connection, forgetLogin, isSession, type Login, savedLogin, writeLogin } from '../../connection.ts'
import { expiresSoon, hubOptions } from '../../option-values.ts'
import { lineText } from '../../render/terminal-text.ts'
import { askSecret } from '../../secret-values.ts'

export const login = command({
  summary: 'Log in to a hub. Later commands of this user use it.',
  args: '[url]',
  options: {
    username: {
      type: 'string',
      short: 'u',
      value: 'NAME',
      help: 'Default: admin; TENANT/NAME for a tenant other than the first',
    },
    'password-stdin': { type: 'boolean', help: 'Read the password from standard input' },
    token: { ...hubOptions.token, help: 'Save this API token instead of asking for a password' },
    forget: { type: 'boolean', help: 'Same as errand logout' },
  },
  examples: ['errand login http://hub.example:3000 -u anna', 'errand login --forget'],
  async run(options, [address]) {
    if (options.forget) return endLogin()
    const { url } = connection({ url: address })
    let { token } = options
    if (token === undefined) {
      const password = await askSecret('Password', options['password-stdin'] ?? false)
      const answer = await new ErrandClient({ url }).auth.login(options.username ?? 'admin', password)
      token = answer.token
    }
    const user = await new ErrandClient({ url, token }).auth.me()
    writeLogin({ url, token })
    process.stdout.write(`Logged in to ${url} as ${lineText(user.name)} (${lineText(user.role)}).\n`)
    const soon = options.token === undefined ? undefined : expiresSoon(user.expires_at)
    if (soon !== undefined)
      process.stderr.write(`warning: this token expires ${soon}. Create another with: errand tokens create\n`)
    return 0
  },
})

export const logout = command({
  summary: 'Log out: end the session at the hub and forget it here.',
  options: {},
  examples: ['errand logout'],
  run: () => endLogin(),
})

async function endLogin(): Promise<number> {
  const login = savedLogin()
  forgetLogin()
  if (login === undefined) process.stdout.write('You are not logged in.\n')
  else if (!isSession(login.token))
    process.stdout.write(
      `Logged out of ${login.url}. Its token stays valid until it is revoked or expires.\n`,
    )
  else {
    await endSession(login)
    process.stdout.write(`Logged out of ${login.url}.\n`)
  }
  return 0
}

async function endSession(login: Login): Promise<void> {
  try {
    await new ErrandClient(login).auth.logout()
  } catch (error) {
    if (!(error instanceof ErrandError)) throw error
    // The session has already ended.
    if (error.status === 401) return
    throw new ErrandError(
      error.code,
      `Logged out here, but the hub could not end the session: ${error.message}`,
      {
        hint: 'At the hub the session ends 12 hours after the login. A new password ends it sooner: errand users password',
        cause: error,
      },
    )
  }
}
