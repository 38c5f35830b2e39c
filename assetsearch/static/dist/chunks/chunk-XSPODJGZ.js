function o(){let e=document.querySelector("[name=csrfmiddlewaretoken]")?.value??"";return document.cookie.match(/\bcsrftoken=([^;]+)/)?.[1]??e}export{o as a};
