// The state of the page: filters, order, the compared pair, the open query. It lies in the fragment of the address, so
// that a reload, a link and the back button restore it. What is as at the start is not in the address.
const state = (() => {
  const fields = [];
  const listeners = [];
  const values = () => new URLSearchParams(location.hash.slice(1));

  function valueOf({ field, start }) {
    const value = field.type === "checkbox" ? String(field.checked) : field.value;
    return value === start ? null : value;
  }

  function restore({ key, field, start }) {
    const value = state.get(key) ?? start;
    if (field.type === "checkbox") field.checked = value === "true";
    else field.value = value;
    if (field.tagName === "SELECT" && field.selectedIndex < 0) field.value = start;
  }

  // What the fields hold, if their values were chosen by the reader.
  function record(typed) {
    for (const each of fields) put(each.key, valueOf(each));
    commit(typed);
  }

  let next = values();
  const put = (key, value) => (value === null || value === "" ? next.delete(key) : next.set(key, value));

  function commit(typed) {
    const text = next.toString();
    if (text === values().toString()) return;
    history[typed ? "replaceState" : "pushState"](null, "", `#${text}`);
  }

  addEventListener("hashchange", () => {  // the back button, or a changed address
    next = values();
    fields.forEach(restore);
    listeners.forEach((listener) => listener());
  });

  return {
    // The text of a key, or null.
    get: (key) => values().get(key) || null,
    // Sets the text of a key; null removes it. The back button undoes it, unless it is `typed`, letter by letter.
    set(key, value, { typed = false } = {}) {
      put(key, value);
      commit(typed);
    },
    // Keeps a field of a form under a key: sets it from the address now and later, and the address from it.
    bind(key, field, start = field.type === "checkbox" ? String(field.checked) : field.value) {
      const kept = { key, field, start };
      fields.push(kept);
      restore(kept);
      const typed = ["search", "number", "text"].includes(field.type);
      field.addEventListener(typed ? "input" : "change", () => record(typed));
    },
    // Records all bound fields after code has changed them.
    record: () => record(false),
    // Calls `listener` after the back button or a changed address has set the fields.
    follow: (listener) => listeners.push(listener),
  };
})();
