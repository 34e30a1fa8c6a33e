import type { Token, Tokens } from 'marked'
import { Fragment, memo, type ReactNode } from 'react'
import { CopyButton } from '../parts/copy-button.tsx'
import { PlainText } from '../parts/or-plain.tsx'
import { tokensOf } from './markdown-tokens.ts'

/** Longer texts are shown without formatting. */
const MOST_CHARACTERS = 200_000

/** Reports whether an address may become a link; others stay text. */
const isSafe = (address: string): boolean => /^(?:https?:\/\/|mailto:)/i.test(address)

/** Renders Markdown as nodes of the page. HTML is shown as text and an image as a link; nothing is fetched. */
export const Markdown = memo(function Markdown({ text }: { text: string }) {
  if (text.length > MOST_CHARACTERS) return <PlainText text={text} />
  return (
    <div className="markdown">
      {tokensOf(text).map((token, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: blocks are only added at the end
        <Block key={at} token={token} />
      ))}
    </div>
  )
})

/** Renders one block again only when its text changes: of a growing message, that is the last block. */
const Block = memo(
  function Block({ token }: { token: Token }): ReactNode {
    switch (token.type) {
      case 'space':
      case 'def':
        return null
      case 'heading': {
        // The page's own headings rank above those of a message.
        const Heading = `h${Math.min(6, (token as Tokens.Heading).depth + 2)}` as 'h3'
        return <Heading>{inline(token.tokens)}</Heading>
      }
      case 'code':
        return <Code token={token as Tokens.Code} />
      case 'blockquote':
        return <blockquote>{blocks(token.tokens)}</blockquote>
      case 'hr':
        return <hr />
      case 'list':
        return <List token={token as Tokens.List} />
      case 'table':
        return <Table token={token as Tokens.Table} />
      case 'paragraph':
        return <p>{inline(token.tokens)}</p>
      case 'text':
        return <>{token.tokens === undefined ? token.raw : inline(token.tokens)}</>
      default:
        return <p className="whitespace-pre-wrap">{token.raw}</p>
    }
  },
  (before, after) => before.token.raw === after.token.raw && before.token.type === after.token.type,
)

const blocks = (tokens: Token[] = []): ReactNode =>
  // biome-ignore lint/suspicious/noArrayIndexKey: blocks are only added at the end
  tokens.map((token, at) => <Block key={at} token={token} />)

function Code({ token: { text, lang } }: { token: Tokens.Code }) {
  return (
    <div className="group/code relative">
      <pre>
        <code>{text}</code>
      </pre>
      <span className="absolute top-1 right-1 flex items-center gap-1 rounded bg-sunken pl-1 text-label text-ink3">
        {lang !== undefined && lang !== '' && <bdi>{lang.slice(0, 20)}</bdi>}
        <CopyButton text={text} label="Copy this code" />
      </span>
    </div>
  )
}

function List({ token }: { token: Tokens.List }) {
  const items = token.items.map((item, at) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: items are only added at the end
    <li key={at} className={item.task ? 'list-none' : undefined}>
      {item.task && (
        <input
          type="checkbox"
          checked={item.checked === true}
          readOnly
          disabled
          aria-label="Done"
          className="mr-1.5"
        />
      )}
      {blocks(item.tokens.filter(({ type }) => type !== 'checkbox'))}
    </li>
  ))
  return token.ordered ? <ol start={Number(token.start) || 1}>{items}</ol> : <ul>{items}</ul>
}

function Table({ token: { header, rows } }: { token: Tokens.Table }) {
  const cells = (row: Tokens.TableCell[], Cell: 'th' | 'td') => (
    <tr>
      {row.map((cell, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: cells have their places
        <Cell key={at}>{inline(cell.tokens)}</Cell>
      ))}
    </tr>
  )
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is scrolled by keys as well
    <section className="overflow-x-auto" tabIndex={0} aria-label="Table">
      <table>
        <thead>{cells(header, 'th')}</thead>
        <tbody>
          {rows.map((row, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: rows have their places
            <Fragment key={at}>{cells(row, 'td')}</Fragment>
          ))}
        </tbody>
      </table>
    </section>
  )
}

function inline(tokens: Token[] = []): ReactNode {
  // biome-ignore lint/suspicious/noArrayIndexKey: pieces have their places
  return tokens.map((token, at) => <Fragment key={at}>{piece(token)}</Fragment>)
}

function piece(token: Token): ReactNode {
  switch (token.type) {
    case 'strong':
      return <strong>{inline(token.tokens)}</strong>
    case 'em':
      return <em>{inline(token.tokens)}</em>
    case 'del':
      return <del>{inline(token.tokens)}</del>
    case 'codespan':
      return <code>{(token as Tokens.Codespan).text}</code>
    case 'br':
      return <br />
    case 'link':
    case 'image': {
      const { href, text } = token as Tokens.Link
      const content = token.type === 'image' ? `image: ${text || href}` : inline(token.tokens)
      if (!isSafe(href)) return <>{token.raw}</>
      return (
        <a href={href} target="_blank" rel="noopener noreferrer nofollow" title={href}>
          {content}
        </a>
      )
    }
    case 'escape':
      return <>{(token as Tokens.Escape).text}</>
    case 'text':
      return <>{token.tokens === undefined ? (token as Tokens.Text).raw : inline(token.tokens)}</>
    default:
      return <>{token.raw}</>
  }
}
