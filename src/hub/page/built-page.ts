import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A file of the page, as it is sent. */
export interface PageFile {
  body: Buffer
  type: string
  encoding?: 'br' | 'gzip'
}

/** Types of the files that the build makes. Others are not served. */
const types: Readonly<Record<string, string>> = {
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
  png: 'image/png',
  woff2: 'font/woff2',
  json: 'application/json; charset=utf-8',
}

/** Limits what the page may load and do to the hub's own content. */
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

/**
 * The dashboard as the build has left it in a folder. Files are read for each request, so the hub holds none in
 * memory.
 */
export class BuiltPage {
  /** Path under which a proxy shows the hub, such as `/errand`; empty if the hub has its own host name. */
  readonly basePath: string
  readonly #folder: string

  constructor({ folder, basePath = '' }: { folder: string; basePath?: string }) {
    this.#folder = folder
    this.basePath = basePath
  }

  /** Returns the page, which is the same at each of its addresses, or undefined if it is not built. */
  async index(): Promise<string | undefined> {
    const text = await there(readFile(join(this.#folder, 'index.html'), 'utf8'))
    // A function, because the path could contain a "$".
    return text?.replace('<base href="/"', () => `<base href="${this.basePath}/"`)
  }

  /**
   * Returns the file below `assets/` in the smallest encoding that the reader accepts, or undefined if there is no
   * such file.
   */
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

/** Reports whether an `Accept-Encoding` header accepts the encoding. */
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
