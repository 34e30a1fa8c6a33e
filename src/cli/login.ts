import { ErrandClient } from '../client/client.ts'
import { askSecret } from './ask-secret.ts'
import { command } from './command.ts'
import { connection } from './connection.ts'
import { hubOptions } from './hub-options.ts'
import { forgetLogin, writeLogin } from './saved-login.ts'

export const login = command({
  summary: 'Log in to a hub; the commands of this user use it from then on.',
  args: '[url]',
  options: {
    username: { type: 'string', short: 'u', value: 'NAME', help: 'Default: admin' },
    'password-stdin': { type: 'boolean', help: 'Read the password from standard input' },
    token: { ...hubOptions.token, help: 'Keep this API token instead of asking for a password' },
    forget: { type: 'boolean', help: 'Log out' },
  },
  examples: ['errand login http://hub.example:3000 -u anna', 'errand login --forget'],
  async run(options, [given]) {
    if (options.forget) {
      forgetLogin()
      process.stdout.write('Logged out.\n')
      return 0
    }
    const { url } = connection({ url: given })
    let { token } = options
    if (token === undefined) {
      const password = await askSecret('Password', options['password-stdin'] ?? false)
      const answer = await new ErrandClient({ url }).auth.login(options.username ?? 'admin', password)
      token = answer.token
    }
    const user = await new ErrandClient({ url, token }).auth.me()
    writeLogin({ url, token })
    process.stdout.write(`Logged in to ${url} as ${user.name} (${user.role}).\n`)
    return 0
  },
})
