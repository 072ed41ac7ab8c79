/*
 * As much of a document as Preact draws into and a test of a component looks at: a tree of elements
 * with words, handlers and one focus.
 */
import type { ComponentChild } from 'preact'
import { render } from 'preact'

class FakeNode {
  parentNode: FakeElement | null = null
  childNodes: FakeNode[] = []
  constructor(
    readonly nodeType: number,
    readonly localName: string,
    readonly ownerDocument: FakeDocument,
  ) {}
  get nodeName(): string {
    return this.localName.toUpperCase()
  }
  get firstChild(): FakeNode | null {
    return this.childNodes[0] ?? null
  }
  get nextSibling(): FakeNode | null {
    const all = this.parentNode?.childNodes ?? []
    return all[all.indexOf(this) + 1] ?? null
  }
  get text(): string {
    return this.childNodes.map((one) => one.text).join('')
  }
  remove(): void {
    this.parentNode?.removeChild(this)
  }
  removeChild(node: FakeNode): FakeNode {
    this.childNodes = this.childNodes.filter((one) => one !== node)
    node.parentNode = null
    return node
  }
}

class FakeText extends FakeNode {
  constructor(
    owner: FakeDocument,
    public data: string,
  ) {
    super(3, '#text', owner)
  }
  override get text(): string {
    return this.data
  }
}

export class FakeElement extends FakeNode {
  readonly attributes: readonly [] = []
  readonly namespaceURI = 'http://www.w3.org/1999/xhtml'
  readonly style = { setProperty: (): void => undefined }
  readonly #given = new Map<string, string>()
  readonly #handlers = new Map<string, (event: object) => void>()
  /** What had the focus when it opened; undefined while it is closed. */
  #before: FakeElement | null | undefined

  constructor(owner: FakeDocument, name: string) {
    super(1, name, owner)
  }
  insertBefore(node: FakeNode, before: FakeNode | null): FakeNode {
    node.remove()
    const at = before === null ? -1 : this.childNodes.indexOf(before)
    this.childNodes.splice(at < 0 ? this.childNodes.length : at, 0, node)
    node.parentNode = this
    return node
  }
  appendChild(node: FakeNode): FakeNode {
    return this.insertBefore(node, null)
  }
  append(node: FakeNode): void {
    this.insertBefore(node, null)
  }
  setAttribute(name: string, value: string): void {
    this.#given.set(name, String(value))
  }
  getAttribute(name: string): string | null {
    return this.#given.get(name) ?? null
  }
  removeAttribute(name: string): void {
    this.#given.delete(name)
  }
  set textContent(_words: '') {
    this.childNodes = []
  }
  addEventListener(type: string, handler: (event: object) => void): void {
    this.#handlers.set(type.toLowerCase(), handler)
  }
  removeEventListener(type: string): void {
    this.#handlers.delete(type.toLowerCase())
  }
  focus(): void {
    this.ownerDocument.activeElement = this
  }
  /** As a modal dialog does: it gives the focus back when it closes, and tells of that later. */
  showModal(): void {
    this.#before = this.ownerDocument.activeElement
    this.ownerDocument.activeElement = this
  }
  close(): void {
    if (this.#before === undefined) return
    this.ownerDocument.activeElement = this.#before
    this.#before = undefined
    setTimeout(() => this.tell('close'))
  }
  /** An event that a browser would fire by itself, with what it carries. */
  tell(type: string, carried: object = {}): void {
    const preventDefault = (): void => undefined
    const event = { type, target: this, currentTarget: this, preventDefault, ...carried }
    this.#handlers.get(type)?.call(this, event)
  }
  /** Press it; true when that is to do what the browser does by itself. */
  press(): boolean {
    let isOwn = true
    const preventDefault = (): void => void (isOwn = false)
    const event = { type: 'click', target: this, currentTarget: this, preventDefault }
    this.#handlers.get('click')?.call(this, event)
    return isOwn
  }
  /** Choose `value` in it. */
  change(value: string): void {
    const currentTarget = Object.assign(this, { value })
    this.#handlers.get('change')?.call(this, { type: 'change', target: this, currentTarget })
  }
  click(): void {
    if (this.press()) this.ownerDocument.followed.push(this.getAttribute('href') ?? '')
  }
  /** All elements of this name within, in the order of the page. */
  all(name: string): FakeElement[] {
    return this.childNodes.flatMap((one) =>
      one instanceof FakeElement
        ? [...(one.localName === name ? [one] : []), ...one.all(name)]
        : [],
    )
  }
}

export class FakeDocument {
  activeElement: FakeElement | null = null
  /** Where links led that the page itself pressed. */
  readonly followed: string[] = []
  readonly root = new FakeElement(this, 'div')
  readonly documentElement = this.root

  createElement(name: string): FakeElement {
    return new FakeElement(this, name)
  }
  createElementNS(_space: string, name: string): FakeElement {
    return new FakeElement(this, name)
  }
  createTextNode(words: string): FakeText {
    return new FakeText(this, words)
  }
  getElementById(id: string): FakeElement | null {
    const find = (one: FakeElement): FakeElement | null => {
      if ((one as { id?: string }).id === id || one.getAttribute('id') === id) return one
      for (const child of one.childNodes) {
        const found = child instanceof FakeElement ? find(child) : null
        if (found !== null) return found
      }
      return null
    }
    return find(this.root)
  }
  draw(page: ComponentChild): void {
    render(page, this.root as unknown as Element)
  }
}

/** The first button below `root` whose words begin with `text`. */
export function buttonIn(root: FakeElement, text: string): FakeElement {
  const found = root.all('button').find((one) => one.text.startsWith(text))
  if (found === undefined) throw new Error(`no button says ${text}`)
  return found
}
