import manifest from '../../package.json' with { type: 'json' }
import { command } from './command.ts'

export const version = command({
  summary: 'Print the version of Errand and of the Node it runs on.',
  options: { json: { type: 'boolean', help: 'Print JSON' } },
  examples: ['errand version'],
  async run({ json }) {
    const node = process.version
    process.stdout.write(
      json
        ? `${JSON.stringify({ version: productVersion, node })}\n`
        : `errand ${productVersion} (Node ${node})\n`,
    )
    return 0
  },
})

export const productVersion: string = manifest.version
