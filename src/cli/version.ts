import { command } from './command.ts'
import { productVersion } from './product-version.ts'

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
