import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A file of the page, as it is sent. */
export interface PageFile {
  body: Buffer
  type: string
  encoding?: 'br' | 'gzip'
}

/** Of the kinds of file that the build makes. Others are not served. */
const types: Readonly<Record<string, string>> = {
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
  png: 'image/png',
  woff2: 'font/woff2',
  json: 'application/json; charset=utf-8',
}

/** All that the page may load and do; all of it is the hub's own. */
export const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "font-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "frame-ancestors 'none'",
  "base-uri 'self'",
  "form-action 'self'",
].join('; ')

/** The dashboard as the build has left it in a folder: read from there each time, so that a hub keeps nothing of it. */
export class BuiltPage {
  /** Where a proxy shows the hub, such as `/errand`; `` where it has a host name of its own. */
  readonly basePath: string
  readonly #folder: string

  constructor({ folder, basePath = '' }: { folder: string; basePath?: string }) {
    this.#folder = folder
    this.basePath = basePath
  }

  /** The page itself, which is the same at each of its addresses. Undefined: it is not built. */
  async index(): Promise<string | undefined> {
    const text = await there(readFile(join(this.#folder, 'index.html'), 'utf8'))
    // A function, as the path could have a "$".
    return text?.replace('<base href="/"', () => `<base href="${this.basePath}/"`)
  }

  /** The file that stands under `assets/`, in the smallest form that the reader takes. Undefined: there is none of this name. */
  async asset(name: string, acceptEncoding = ''): Promise<PageFile | undefined> {
    const type = types[/^[\w-][\w.-]*\.(\w+)$/.exec(name)?.[1] ?? '']
    if (type === undefined) return undefined
    const file = join(this.#folder, 'assets', name)
    for (const [encoding, suffix] of encodings) {
      if (!takes(acceptEncoding, encoding)) continue
      const body = await there(content(`${file}${suffix}`))
      if (body !== undefined) return { body, type, encoding }
    }
    const body = await there(content(file))
    return body && { body, type }
  }
}

const encodings = [
  ['br', '.br'],
  ['gzip', '.gz'],
] as const

/** Whether an `Accept-Encoding` names it, and not as what is refused. */
function takes(accept: string, encoding: string): boolean {
  return accept.split(',').some((each) => {
    const [name, quality] = each
      .trim()
      .toLowerCase()
      .split(/\s*;\s*q=/)
    return name === encoding && !(quality !== undefined && Number(quality) === 0)
  })
}

async function content(file: string): Promise<Buffer> {
  await using handle = await open(file)
  return await handle.readFile()
}

const there = <T>(reading: Promise<T>): Promise<T | undefined> =>
  reading.catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR' || error.code === 'EISDIR') return undefined
    throw error
  })
