// Picture: a PNG with a text beside it for those who cannot see it. A new one takes the place of
// the old one only when it is ready, so that nothing flickers. Where it fails, the text is shown.

function render({ model, el }) {
  const image = element("img", { class: "bert-picture" });
  const instead = element("p"); // where there is a text, but no picture
  el.append(image, instead);
  let address = "";
  const mark = () => {
    const png = model.get("png");
    image.alt = model.get("alt");
    image.hidden = !png?.byteLength;
    write(instead, image.hidden ? model.get("alt") : "");
    instead.hidden = !instead.textContent;
    if (image.hidden) return;
    const before = address;
    address = URL.createObjectURL(new Blob([png], { type: "image/png" }));
    image.onload = () => before && URL.revokeObjectURL(before);
    image.src = address;
  };
  const end = follow({ model, el }, [], ["png", "alt"], () => {}, mark);
  return () => {
    end();
    URL.revokeObjectURL(address);
  };
}

export default { render };
