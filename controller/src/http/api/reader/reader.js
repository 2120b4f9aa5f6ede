'use strict';
// Shows /api/v1/openapi.json: every operation with its parameters, bodies and answers. Texts go in as texts, never as markup.

const METHODS = ['get', 'put', 'post', 'patch', 'delete'];
const DOCUMENT = '/api/v1/openapi.json';
const at = (id) => document.getElementById(id);
let api = {};

// The token of `#token=…`, as `enforcer web` prints it; it leaves the address and is kept nowhere.
let token = (/^#token=([^&]+)/.exec(location.hash) || [])[1] || '';
if (token) history.replaceState(null, '', location.pathname);

function make(tag, words, ...inner) {
  const element = document.createElement(tag);
  if (words) element.className = words;
  element.append(...inner.filter((part) => part !== null && part !== undefined));
  return element;
}

// Texts of the document: paragraphs, and `code` between backticks.
function prose(text) {
  return (text || '').split(/\n\n+/).filter(Boolean).map((paragraph) => {
    const parts = paragraph.split('`').map((part, n) => (n % 2 ? make('code', '', part) : part));
    return make('p', '', ...parts);
  });
}

function found(node) {
  if (!node || !node.$ref) return node || {};
  const place = node.$ref.slice(2).split('/');
  const target = place.reduce((here, key) => here && here[key.replace(/~1/g, '/').replace(/~0/g, '~')], api);
  return { ...(target || {}), ...(node.description ? { description: node.description } : {}) };
}

const called = (node) => (node && node.$ref ? node.$ref.split('/').pop() : '');

function typed(node) {
  if (!node) return 'anything';
  if (node.$ref) return called(node);
  const many = node.oneOf || node.anyOf || node.allOf;
  if (many) return many.map(typed).join(node.allOf ? ' and ' : ' or ');
  if (node.enum) return node.enum.map((value) => JSON.stringify(value)).join(' | ');
  const types = [].concat(node.type || (node.properties ? 'object' : 'anything'));
  const shown = types.map((type) => {
    if (type === 'array') return `list of ${typed(node.items)}`;
    if (type === 'object' && node.additionalProperties) return `map to ${typed(node.additionalProperties)}`;
    return node.format ? `${type} (${node.format})` : type;
  });
  return shown.join(' or ');
}

// What a type is made of; a named one unfolds when somebody opens it, so that types within themselves have an end.
function shape(node) {
  const whole = found(node);
  const list = make('ul', '');
  for (const part of whole.oneOf || whole.anyOf || whole.allOf || []) list.append(member('', part, false));
  for (const [name, field] of Object.entries(whole.properties || {})) {
    list.append(member(name, field, (whole.required || []).includes(name)));
  }
  if (whole.type === 'array' || [].concat(whole.type).includes('array')) list.append(member('each', whole.items, false));
  const rest = whole.additionalProperties;
  if (rest && typeof rest === 'object') list.append(member('any name', rest, false));
  if (whole.enum) list.append(make('li', 'type', typed(whole)));
  return list;
}

const unfolds = (node) => {
  const whole = found(node);
  return Boolean(whole.properties || whole.oneOf || whole.anyOf || whole.allOf || whole.enum || whole.items || typeof whole.additionalProperties === 'object');
};

function member(name, node, required) {
  const whole = found(node);
  const line = [make('span', 'name', name), ' ', make('span', 'type', typed(node)), required ? make('span', 'dim', ', required') : ''];
  const item = make('li', '');
  if (unfolds(node)) item.append(folded(line, () => shape(node)));
  else item.append(...line);
  if (whole.description) item.append(...prose(whole.description));
  return item;
}

function folded(line, inner) {
  const details = make('details', '', make('summary', '', ...line));
  details.addEventListener('toggle', () => {
    if (details.open && details.children.length === 1) details.append(inner());
  });
  return details;
}

function content(bodies) {
  return Object.entries(bodies || {}).map(([kind, { schema }]) => {
    const line = [make('code', '', kind), ' ', make('span', 'type', typed(schema))];
    return schema && unfolds(schema) ? folded(line, () => shape(schema)) : make('div', '', ...line);
  });
}

function parameters(all) {
  const list = make('ul', '');
  for (const given of (all || []).map(found)) {
    const item = member(given.name, given.schema, given.required);
    item.prepend(make('span', 'dim', `${given.in} `));
    if (given.description) item.append(...prose(given.description));
    list.append(item);
  }
  return list;
}

function inside(operation, shared) {
  const given = [...(shared || []), ...(operation.parameters || [])];
  const parts = [...prose(operation.description)];
  if (given.length) parts.push(make('h3', '', 'Parameters'), parameters(given));
  if (operation.requestBody) parts.push(make('h3', '', 'Body'), ...content(found(operation.requestBody).content));
  parts.push(make('h3', '', 'Answers'));
  for (const [status, answer] of Object.entries(operation.responses || {})) {
    const whole = found(answer);
    parts.push(make('div', '', make('code', '', status), ` ${whole.description || ''}`, ...content(whole.content)));
    const headers = Object.entries(whole.headers || {});
    for (const [name, header] of headers) parts.push(make('div', 'dim', `${name}: ${found(header).description || ''}`));
  }
  return make('div', '', ...parts);
}

function operations() {
  const all = [];
  for (const [path, item] of Object.entries(api.paths || {})) {
    for (const method of METHODS) if (item[method]) all.push({ path, method, shared: item.parameters, operation: item[method] });
  }
  return all;
}

function show() {
  at('all').replaceChildren();
  const tags = new Map();
  for (const one of operations()) {
    const tag = (one.operation.tags || ['other'])[0];
    tags.set(tag, [...(tags.get(tag) || []), one]);
  }
  for (const [tag, ones] of [...tags].sort()) {
    const section = make('section', '', make('h2', '', tag));
    for (const { path, method, shared, operation } of ones) {
      const line = [make('span', 'method', method.toUpperCase()), make('code', '', path), ' ', make('span', 'dim', operation.summary || '')];
      const details = folded(line, () => inside(operation, shared));
      details.className = 'operation';
      details.id = operation.operationId || '';
      details.dataset.words = `${method} ${path} ${operation.operationId} ${operation.summary || ''} ${operation.description || ''}`.toLowerCase();
      section.append(details);
    }
    at('all').append(section);
  }
  narrow();
  const wanted = location.hash && at(decodeURIComponent(location.hash.slice(1)));
  if (wanted && wanted.matches('details.operation')) {
    wanted.open = true;
    wanted.scrollIntoView();
  }
}

function narrow() {
  const words = at('find').value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const section of at('all').children) {
    let some = false;
    for (const details of section.querySelectorAll('details.operation')) {
      details.hidden = !words.every((word) => details.dataset.words.includes(word));
      if (!details.hidden) {
        some = true;
        count += 1;
      }
    }
    section.hidden = !some;
  }
  at('told').textContent = `${api.info.title} ${api.info.version}: ${count} operations`;
}

async function read() {
  const answer = await fetch(DOCUMENT, { headers: token ? { authorization: `Bearer ${token}` } : {} });
  at('door').hidden = answer.status !== 401;
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    at('told').textContent = problem.detail || `The document was not given: ${answer.status}`;
    return;
  }
  api = await answer.json();
  show();
}

const begin = () => read().catch((error) => { at('told').textContent = `The controller does not answer: ${error.message}`; });
at('find').addEventListener('input', narrow);
at('door').addEventListener('submit', (event) => {
  event.preventDefault();
  token = at('token').value.trim();
  at('token').value = '';
  begin();
});
begin();
